"""``python -m tests.hardening.curves SUMMARY.csv BEFORE.csv PICTURE.png``: curves of the study ``adversaries``.

The summary is that of ``python -m simulations summarise adversaries --output SUMMARY.csv``; what was before is written
by ``python -m tests.hardening.before BEFORE.csv``.  Tables go to the terminal, one line per plan and one column per
share, with Monte Carlo standard errors in brackets.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd

PLANS = ("tolerance", "ladder", "sybils", "copies", "camouflage")
MODULE_PLANS = ("one module", "all modules", "copies", "sybils")
CLAIR = {"adversaries": "CLAIR, verdict", "module adversaries": "CLAIR, all modules, refined"}
HARM, MEAN = "MSE over that of local fits", "MSE of the mean over that of local fits"
BEFORE = "before"  # in place of the method's name, which holds the commit
WHAT = (("harm", HARM), ("recall", "mean recall"), ("verdict", "P(majority)"), ("honest flagged", "P(false_alarm)"))


def _tables():
    """(heading, regime, method, measure, plans), the mean of all first, then each measure with CLAIR and before."""
    for regime, own, plans in (("adversaries", "", PLANS), ("module adversaries", ", modules", MODULE_PLANS)):
        method, measure = ("Federated average", HARM) if regime == "adversaries" else (CLAIR[regime], MEAN)
        yield f"harm{own}, without CLAIR (mean of all)", regime, method, measure, plans
        for word, name in WHAT:
            yield f"{word}{own}", regime, CLAIR[regime], name, plans
            yield f"{word}{own}, before", regime, BEFORE, name, plans


def chosen(summary, regime, method, measure, plan):
    """Rows of one curve by share."""
    found = summary[(summary["regime"] == regime) & (summary["method"] == method) & (summary["measure"] == measure)]
    return found[found["regime.plan"] == plan].sort_values("regime.share")


def table(summary, shares):
    """All tables in one, Markdown."""
    lines = ["| what, plan | " + " | ".join(f"{share:g}" for share in shares) + " |", "|---" * (1 + len(shares)) + "|"]
    for heading, regime, method, measure, plans in _tables():
        for plan in plans:
            rows = chosen(summary, regime, method, measure, plan).set_index("regime.share")
            cells = [f"{rows.at[s, 'value']:.2f} ({rows.at[s, 'mcse']:.2f})" if s in rows.index else "" for s in shares]
            lines += [] if rows.empty else [f"| {heading}: {plan} | " + " | ".join(cells) + " |"]
    return "\n".join(lines)


def draw(summary, path):
    """Harm and recall against the attackers' share: one block, and several modules."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(9, 6.5), layout="constrained", sharex=True)
    for column, (regime, plans) in enumerate((("adversaries", PLANS), ("module adversaries", MODULE_PLANS))):
        for row, measure in enumerate((HARM, "mean recall")):
            axis = axes[row, column]
            for plan in plans:
                found = chosen(summary, regime, CLAIR[regime], measure, plan)
                values, errors = found["value"], 2.0 * found["mcse"]
                line = axis.errorbar(found["regime.share"], values, yerr=errors, marker="o", markersize=3, label=plan)
                former = chosen(summary, regime, BEFORE, measure, plan)
                axis.plot(former["regime.share"], former["value"], ":", color=line.lines[0].get_color(), linewidth=1)
            axis.axvline(0.5, color="0.6", linestyle=":")
            if measure == HARM:
                axis.axhline(1.0, color="0.6", linestyle=":")
        axes[0, column].set_title("one block per client" if column == 0 else "four low-rank modules")
        axes[0, column].legend(fontsize="small")
        axes[1, column].set_xlabel("share of attackers")
    for axis in axes[0]:
        axis.set_yscale("log")
    axes[0, 0].set_ylabel("error of the honest, alone = 1 (dotted: before)")
    axes[1, 0].set_ylabel("attackers found, share")
    figure.savefig(path, dpi=110)


def main():
    summary = pd.concat([pd.read_csv(sys.argv[1]), pd.read_csv(sys.argv[2]).assign(method=BEFORE)])
    sys.stdout.write(table(summary, sorted(summary["regime.share"].unique())) + "\n")
    draw(summary, Path(sys.argv[3]))


if __name__ == "__main__":
    main()
