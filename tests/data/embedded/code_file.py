"""A Python file to make records of."""

from prospero.data.document import Document

CODE = '''
class Box:
    def area(self, width, height):
        """
        Return the area of the box.  

        >>> Box().area(2, 3)
        6
        >>> box = Box()
        >>> for n in range(2):
        ...     print(box.area(n, n))
        0
        1
        >>> 1 / 0
        Traceback (most recent call last):
        ZeroDivisionError: division by zero
        """
        # what the box covers
        surface = width * height
        return surface

    def tiny(self):
        """Return nothing at all of any use."""
        return None

    def cut(self, width, height):
        """Return the area of the box, and a sentence
        that goes on in the next line."""
        surface = width * height
        return surface

    def undocumented(self, width, height):
        surface = width * height
        return surface
'''
FILE = Document(text=CODE, id="box.py", source="box")
