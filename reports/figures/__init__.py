"""Figures for papers, as PDF and PNG in one style, from stored records.

`gallery.py` draws and saves them; each other module turns a protocol's records into some kinds of
figures (`sheet.Sheet`), or says why it cannot.
"""
