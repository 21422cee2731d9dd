"""The differential: causes as data, held against facts in three-valued logic.

`loading.load_causes` reads them, `differential.differentiate` decides; both are pure apart from reading files.
"""
