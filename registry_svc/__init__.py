"""The registry: admits versions, keeps the catalog, says which versions are aspired. It dials nobody."""
