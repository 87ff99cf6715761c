"""The other side: a receiver of callbacks, as a customer would write one.

``verify`` shares no code with the service that signs: what it checks is Standard Webhooks as published.
"""
