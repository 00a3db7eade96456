"""Images: axes, reading, writing and previews; an image is an ``xarray.DataArray``."""
