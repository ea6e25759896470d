"""The report page of a run: ``runs/<profile>/report.html``, one file to look at and to send.

Everything on it is read from the run's tables, figures, stamps and executed notebooks; nothing is
computed that a chapter has not computed. The page needs no other file, no script and no network;
its links lead to the files beside it.
"""

from helpers.report.page import PAGE, make_report

__all__ = ["PAGE", "make_report"]
