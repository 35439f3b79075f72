"""The course of a conversion: plan, hand out, resume, complete. ``ray_pool`` is the only door to Ray."""
