"""Real gateways: started here, driven with ordinary and odd requests, and their logs compared with what was sent.

A gateway that is not installed is skipped with the reason. `make gateways` installs what PyPI has, Debian has the
others.
"""
