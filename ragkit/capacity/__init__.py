"""What a corpus and its questions need of machines: measured on a small index here, reckoned for a large one."""
