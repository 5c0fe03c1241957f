"""Images of random bytes, pushed through the registry's API as any client does."""

import gzip
import hashlib
import io
import json
import os
import tarfile
import urllib.request

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

# Bytes: the first part of a layer is not the whole layer, and all are pushed within a second.
LAYER_SIZES = (3_000_000, 700_000, 250_000, 120_000)


class Repository:
    """One repository of the registry at `base`. `digests` and `layers` record what was pushed."""

    def __init__(self, base, name):
        self.base, self.name = base, name
        self.digests, self.layers = {}, {}

    def push(self, tag, architectures=("amd64", "arm64")):
        """Pushes an image index with one image for each architecture."""
        children = [self._platform(tag, architecture) for architecture in architectures]
        return self._manifest(
            tag, INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": children}
        )

    def push_single(self, tag, architecture):
        """Pushes an image that is one manifest, without an index that names its platform."""
        child = self._platform(tag, architecture)
        _, manifest = self._request("GET", f"manifests/{child['digest']}", accept=MANIFEST)
        return self._manifest(tag, MANIFEST, manifest)

    def _platform(self, tag, architecture):
        files = [os.urandom(size) for size in LAYER_SIZES]
        tars = [_tar(f"layer-{number}", content) for number, content in enumerate(files)]
        layers = [self._blob(LAYER, gzip.compress(tar, 1)) for tar in tars]
        document = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/app"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(tar) for tar in tars]},
        }
        config = self._blob(CONFIG, _json(document))
        manifest = _json(
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
        )
        digest = self._manifest(_digest(manifest), MANIFEST, manifest)
        self.layers.setdefault(tag, {})[architecture] = [layer["digest"] for layer in layers]
        return {
            "mediaType": MANIFEST,
            "digest": digest,
            "size": len(manifest),
            "platform": {"architecture": architecture, "os": "linux"},
        }

    def _blob(self, media_type, content):
        digest = _digest(content)
        upload, _ = self._request("POST", "blobs/uploads/")
        separator = "&" if "?" in upload["Location"] else "?"
        url = f"{upload['Location']}{separator}digest={digest}"
        self._request("PUT", url, content, "application/octet-stream")
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def _manifest(self, reference, media_type, document):
        content = document if isinstance(document, bytes) else _json(document)
        self._request("PUT", f"manifests/{reference}", content, media_type)
        self.digests[reference] = _digest(content)
        return self.digests[reference]

    def _request(self, method, url, content=None, media_type=None, accept=None):
        if not url.startswith("http"):
            url = f"{self.base}/v2/{self.name}/{url}"
        request = urllib.request.Request(url, content, method=method)
        if media_type:
            request.add_header("Content-Type", media_type)
        if accept:
            request.add_header("Accept", accept)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as response:
            return response.headers, response.read()


def _tar(name, content):
    """Returns a layer with one file, which does not depend on this machine."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _json(value):
    return json.dumps(value, separators=(",", ":")).encode()


def _digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()
