"""Real servers for tests, each from a package that brings its program. Where one is missing, its tests fail."""
