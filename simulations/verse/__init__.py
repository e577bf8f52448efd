"""Poets of several schools fine-tune one small Transformer by LoRA: who wrote this, who keeps the metre, who forges?

Language, schools and poets are made (:mod:`simulations.verse.language`, :mod:`simulations.verse.schools`), so that the
truth is known; the Transformer, its pre-training, LoRA and the joint verdict are those of :mod:`simulations.copying`.
"""
