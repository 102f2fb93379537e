"""Pages, JSON, the form: what is the same over WSGI and ASGI."""

import hashlib
import time

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods

from guestbook.models import Entry
from guestbook.place import place

LONGEST = 30  # seconds: whatever lasts ends within a server's graceful time-out
SHOWN = 10  # entries
CHUNK = 64 * 1024  # bytes


def protocol(request: HttpRequest) -> str:
    return "asgi" if hasattr(request, "scope") else "wsgi"


def here(request: HttpRequest) -> dict[str, object]:
    return place(protocol(request), {name.lower(): it for name, it in request.headers.items()})


@never_cache
@require_GET
def page(request: HttpRequest) -> HttpResponse:
    seen = {"place": here(request), "client": request.META["REMOTE_ADDR"]}
    return render(request, "page.html", {**seen, "entries": Entry.objects.all()[:SHOWN]})


@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


@csrf_exempt  # it changes nothing, and who posts to it measures how whole a body arrives
@never_cache
@require_http_methods(["GET", "POST"])
def whoami(request: HttpRequest) -> HttpResponse:
    return JsonResponse(
        {
            **here(request),
            "method": request.method,
            "received": sum(map(len, iter(lambda: request.read(CHUNK), b""))),
            "client": request.META["REMOTE_ADDR"],
            "scheme": request.scheme,
            "forwarded_for": request.headers.get("X-Forwarded-For"),
            "load_balancer": request.headers.get("X-Load-Balancer"),
        }
    )


@never_cache
@require_GET
def slow(request: HttpRequest) -> HttpResponse:
    """Takes `seconds`, 2 unless told. A thread waits along, over ASGI too."""
    try:
        seconds = float(request.GET.get("seconds", 2))
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:  # nor is NaN
        return HttpResponseBadRequest("seconds must be a number from 0")
    seconds = min(seconds, LONGEST)
    time.sleep(seconds)
    return JsonResponse({**here(request), "seconds": seconds})


@never_cache
@require_http_methods(["GET", "POST"])
def form(request: HttpRequest) -> HttpResponse:
    """The form, and what arrived: as a page for a browser, as JSON for anybody else. The text is an
    entry of the guestbook."""
    if request.method == "GET":
        return render(request, "form.html")
    text = request.POST.get("text", "")[:2000]
    if text:
        Entry.objects.create(text=text, host=str(here(request)["host"]))
    seen = {"text": text, "files": [told(file) for file in request.FILES.getlist("file")]}
    if "text/html" not in request.headers.get("Accept", ""):
        return JsonResponse(seen)
    return render(request, "form.html", {"received": True, **seen})


def told(file: UploadedFile) -> dict[str, object]:
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return {"name": file.name, "size": file.size, "sha256": digest.hexdigest()}


@never_cache
@require_GET
def entries(request: HttpRequest) -> HttpResponse:
    shown = Entry.objects.all()[:SHOWN]
    return JsonResponse({"entries": [{"text": one.text, "host": one.host} for one in shown]})
