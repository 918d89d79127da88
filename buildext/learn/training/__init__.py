"""Supervised training: cards -> scenes -> tiles -> targets -> loss -> weights."""
