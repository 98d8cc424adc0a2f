"""What the product promises of damage, kills, time and hostile files, measured.

See docs/reliability.md. `__main__` runs the bars, one module each, and writes what came out.
"""
