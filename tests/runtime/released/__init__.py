"""Journals as released versions wrote them: frozen, never written anew."""
