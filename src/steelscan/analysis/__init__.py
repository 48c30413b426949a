"""What is learned from finished runs and from tables of predictions: a sub-package for each verb.

In each, the file of the verb's name computes values; ``text.py`` and ``page.py`` write them.
"""
