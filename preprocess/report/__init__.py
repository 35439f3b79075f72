"""What a person reads: dry run, estimate, inspection of one video, report page."""
