"""``python -m tests.hardening.curves SUMMARY.csv PICTURE.png``: breakdown curves of the study ``adversaries``.

The summary is that of ``python -m simulations summarise adversaries --output SUMMARY.csv``.  Tables go to the terminal,
one line per plan and one column per share, with Monte Carlo standard errors in brackets.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd

PLANS = ("tolerance", "ladder", "sybils", "copies", "camouflage")
MODULE_PLANS = ("one module", "all modules", "copies", "sybils")
CLAIR = {"adversaries": "CLAIR, verdict", "module adversaries": "CLAIR, all modules, refined"}
HARM, MEAN = "MSE over that of local fits", "MSE of the mean over that of local fits"
# (heading, regime, method, measure, plans)
TABLES = (
    ("harm, without CLAIR (mean of all)", "adversaries", "Federated average", HARM, PLANS),
    ("harm, with CLAIR", "adversaries", "CLAIR, verdict", HARM, PLANS),
    ("recall", "adversaries", "CLAIR, verdict", "mean recall", PLANS),
    ("verdict", "adversaries", "CLAIR, verdict", "P(majority)", PLANS),
    ("honest flagged", "adversaries", "CLAIR, verdict", "P(false_alarm)", PLANS),
    ("harm, modules, without CLAIR", "module adversaries", CLAIR["module adversaries"], MEAN, MODULE_PLANS),
    ("harm, modules, with CLAIR", "module adversaries", CLAIR["module adversaries"], HARM, MODULE_PLANS),
    ("recall, modules", "module adversaries", CLAIR["module adversaries"], "mean recall", MODULE_PLANS),
    ("verdict, modules", "module adversaries", CLAIR["module adversaries"], "P(majority)", MODULE_PLANS),
    ("honest flagged, modules", "module adversaries", CLAIR["module adversaries"], "P(false_alarm)", MODULE_PLANS),
)


def chosen(summary, regime, method, measure, plan):
    """Rows of one curve by share."""
    found = summary[(summary["regime"] == regime) & (summary["method"] == method) & (summary["measure"] == measure)]
    return found[found["regime.plan"] == plan].sort_values("regime.share")


def table(summary, shares):
    """All tables in one, Markdown."""
    lines = ["| what, plan | " + " | ".join(f"{share:g}" for share in shares) + " |", "|---" * (1 + len(shares)) + "|"]
    for heading, regime, method, measure, plans in TABLES:
        for plan in plans:
            rows = chosen(summary, regime, method, measure, plan).set_index("regime.share")
            cells = [f"{rows.at[s, 'value']:.2f} ({rows.at[s, 'mcse']:.2f})" for s in shares if s in rows.index]
            lines.append(f"| {heading}: {plan} | " + " | ".join(cells) + " |")
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
                axis.errorbar(found["regime.share"], values, yerr=errors, marker="o", markersize=3, label=plan)
            axis.axvline(0.5, color="0.6", linestyle=":")
            if measure == HARM:
                axis.axhline(1.0, color="0.6", linestyle=":")
        axes[0, column].set_title("one block per client" if column == 0 else "four low-rank modules")
        axes[0, column].legend(fontsize="small")
        axes[1, column].set_xlabel("share of attackers")
    axes[0, 0].set_ylabel("error of the honest, alone = 1")
    axes[1, 0].set_ylabel("attackers found, share")
    figure.savefig(path, dpi=110)


def main():
    summary = pd.read_csv(sys.argv[1])
    sys.stdout.write(table(summary, sorted(summary["regime.share"].unique())) + "\n")
    draw(summary, Path(sys.argv[2]))


if __name__ == "__main__":
    main()
