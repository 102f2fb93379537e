"""The project over ASGI: `guestbook.asgi:application`."""

import os
import warnings

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "guestbook.settings")
django = get_asgi_application()  # before what uses the settings

from guestbook.live import Echo  # noqa: E402

# WhiteNoise reads its small files with plain iterators, which Django gathers in a thread, with a
# warning each.
warnings.filterwarnings("ignore", "StreamingHttpResponse must consume synchronous iterators")

# A socket that acts in a visitor's name belongs behind channels' AllowedHostsOriginValidator; this
# one echoes to programs, too, which send no origin.
sockets = URLRouter([path("ws", Echo.as_asgi())])
application = ProtocolTypeRouter({"http": django, "websocket": sockets})
