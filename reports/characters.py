"""What the project's characters are in LaTeX: escapes, Greek letters, mathematical signs, accents."""

__all__ = ["COMBINING", "ESCAPES", "GREEK", "SYMBOLS", "TEXT", "UPRIGHT"]

ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_\allowbreak{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
    "|": r"\ensuremath{|}",
}

GREEK = frozenset(
    (
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu",
        "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
    )
)  # fmt: skip

# Outside formulas these stand in \ensuremath.
SYMBOLS = {
    "≤": r"\le",
    "≥": r"\ge",
    "≠": r"\neq",
    "≈": r"\approx",
    "∝": r"\propto",
    "±": r"\pm",
    "×": r"\times",
    "·": r"\cdot",
    "−": "-",
    "∞": r"\infty",
    "∑": r"\sum",
    "√": r"\surd",
    "∈": r"\in",
    "⊂": r"\subset",
    "⊥": r"\perp",
    "⊗": r"\otimes",
    "→": r"\to",
    "←": r"\leftarrow",
    "‖": r"\Vert{}",
    "⟨": r"\langle",
    "⟩": r"\rangle",
    "∪": r"\cup",
    "∩": r"\cap",
    "½": r"\tfrac12",
    "ᵀ": r"^{\top}",
    "ᶜ": r"^{c}",
    "²": "^{2}",
    "³": "^{3}",
    "¹": "^{1}",
    "⁰": "^{0}",
    "⁴": "^{4}",
    "⁵": "^{5}",
    "⁶": "^{6}",
    "⁷": "^{7}",
    "⁸": "^{8}",
    "⁹": "^{9}",
    "⁻": "^{-}",
    "₀": "_{0}",
    "₁": "_{1}",
    "₂": "_{2}",
    "₊": "_{+}",
    "ₖ": "_{k}",
    "′": "'",
    "∗": "*",
    "★": r"\star",
    "✓": r"\checkmark",
}
TEXT = {"–": "--", "—": "---", "“": "``", "”": "''", "‘": "`", "’": "'", "…": r"\dots{}", "\u00a0": "~", "§": r"\S{}"}
COMBINING = {"\u0302": r"\hat", "\u0303": r"\tilde", "\u0304": r"\bar", "\u0305": r"\bar", "\u0307": r"\dot"}

# Capital Greek letters that have a command of their own; the others look like Latin ones.
UPRIGHT = frozenset(("gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega"))
