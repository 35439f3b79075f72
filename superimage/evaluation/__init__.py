"""From the scores of views to the numbers and pictures of a report. Pure, but for the plots; needs no torch."""
