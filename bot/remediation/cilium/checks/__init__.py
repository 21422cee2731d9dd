"""The checks, a module a subject; each is a function that gives problems and what could not be read."""
