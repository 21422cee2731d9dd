"""Playbooks: the order in which to look, what to expect, and what an application's pods dial.

`loading.load_playbooks` reads them, `engine.run` judges facts by one, `applications` recognises the applications that
they describe. All but reading files is pure.
"""
