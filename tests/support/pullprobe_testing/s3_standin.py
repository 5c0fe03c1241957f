"""A bucket of Amazon S3 whose objects are made when they are read, so that nothing is stored.

Answers HeadBucket, ListObjectsV2 with a thousand keys in each page, and GetObject.
"""

import urllib.parse

from pullprobe_testing.loopback_http import Handler, LoopbackServer

PAGE = 1000  # keys (Amazon S3 API reference, ListObjectsV2)


class GeneratedBucket:
    """Serves `keys`, a sequence; `body` returns the bytes of a key's object."""

    def __init__(self, keys, body):
        self.keys, self.body, self.pages = keys, body, 0
        bucket = self

        class BucketHandler(Handler):
            def do_HEAD(self):
                self.respond(200, b"", headers={"x-amz-bucket-region": "us-east-1"})

            def do_GET(self):
                address = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(address.query))
                if "list-type" in query:
                    first = int(query.get("continuation-token", 0))
                    self.respond(200, bucket.page(first, query.get("prefix", "")))
                    return
                _, _, key = address.path.lstrip("/").partition("/")
                self.respond(200, bucket.body(urllib.parse.unquote(key)))

        self._server = LoopbackServer(BucketHandler)
        self.url, self.close = self._server.url, self._server.close

    def page(self, first, prefix):
        """Returns a page of the list, all of whose keys begin with `prefix`."""
        self.pages += 1
        keys = self.keys[first : first + PAGE]
        assert all(key.startswith(prefix) for key in keys)
        items = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys)
        token = ""
        if first + PAGE < len(self.keys):
            token = f"<NextContinuationToken>{first + PAGE}</NextContinuationToken>"
        return f"<ListBucketResult>{items}{token}</ListBucketResult>".encode()
