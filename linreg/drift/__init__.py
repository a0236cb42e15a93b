"""New records beside known ones: is the data still what it was?"""
