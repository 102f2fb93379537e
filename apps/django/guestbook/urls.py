"""Every path, but for /ws (asgi.py) and /static (WhiteNoise)."""

from django.urls import path

from guestbook import live, views

urlpatterns = [
    path("", views.page),
    path("healthz", views.healthz),
    path("whoami", views.whoami),
    path("slow", views.slow),
    path("form", views.form),
    path("entries", views.entries),
    path("events", live.events),
    path("later", live.later),
]
