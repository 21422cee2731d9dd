"""Known issues: upstream threads as data, each with what must hold before it may be named, and what rules it out.

`loading.load_known_issues` reads them, `match.match` holds them against a differential; pure apart from reading files.
"""
