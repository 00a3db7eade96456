"""A network that lists emitters with their uncertainties."""
