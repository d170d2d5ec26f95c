"""Installs the servers and tools of the local stack into one private folder.

Nothing of it touches the machine outside that folder, and no mirror is named here: the package
clients (apt, Maven, pip, Go) ask the sources that the machine has configured.
"""
