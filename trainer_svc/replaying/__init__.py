"""Past examples learned again, and examples changed or multiplied before they are learned."""
