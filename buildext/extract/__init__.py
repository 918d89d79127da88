"""The main job: a scene in, building footprints out."""
