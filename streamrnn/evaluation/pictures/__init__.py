"""Pictures of a report as SVG, drawn by matplotlib (extra ``report``), the same every time."""
