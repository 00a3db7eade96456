"""Single-molecule localizations: tables, simulation, labels, rendering, evaluation."""
