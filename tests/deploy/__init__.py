"""What docker-compose.yml, Dockerfile and deploy/ say is carried out, as far as that goes without a Docker engine."""
