"""A package run on an image of any size: plan, execute, judge, report."""
