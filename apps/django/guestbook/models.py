"""What visitors left."""

from django.db import models


class Entry(models.Model):
    text = models.CharField(max_length=2000)
    host = models.CharField(max_length=253)  # that took it
    written = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-id",)
