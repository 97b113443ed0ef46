"""The command line. `main` lists every verb with the module that implements it."""

from loadstone.hook.import_guard import prefer_installed

prefer_installed()  # before anything else is imported
