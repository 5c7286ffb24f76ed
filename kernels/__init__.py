"""Compiled loops over bytes and arrays. Arrays in, arrays out; a kernel knows no log format. Imports nothing of ours."""
