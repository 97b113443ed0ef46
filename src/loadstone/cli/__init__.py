"""The command line. `main` lists every verb with the module that implements it."""
