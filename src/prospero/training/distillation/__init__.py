"""Learning from a teacher: the frozen model beside the student, or what it said, stored before."""
