"""The gRPC transport of this server's own: calls over `tis_frontend.http2`, on an asyncio event loop."""
