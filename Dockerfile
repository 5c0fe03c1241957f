# dist/build linux/amd64 linux/arm64
FROM scratch
ARG TARGETARCH
COPY target/dist/pullprobe-agent-linux-${TARGETARCH} /pullprobe
USER 65532:65532
ENTRYPOINT ["/pullprobe"]
CMD ["probe"]
