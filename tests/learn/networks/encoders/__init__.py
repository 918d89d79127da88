"""Tests of the hand-written encoders."""
