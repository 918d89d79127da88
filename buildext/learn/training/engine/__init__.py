"""The engine: pools of scenes, phases, and the steps that move weights."""
