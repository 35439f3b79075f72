"""Output for the user: dry run, cost estimate, inspection of one video, report page."""
