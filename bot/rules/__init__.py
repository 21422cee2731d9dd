"""Rules as data: YAML with line numbers, CEL over facts in three-valued logic, and sentence templates.

Shared by playbooks, causes and known issues. All mistakes of an author are found when a file is loaded
(`problems.RulesError`), so that at run time an expression is true, false or unknown, and nothing else.
"""
