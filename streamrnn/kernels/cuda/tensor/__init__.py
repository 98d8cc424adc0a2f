"""bfloat16 on tensor cores: layers over time, and ticks of many streams."""
