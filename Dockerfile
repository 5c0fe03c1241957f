# cargo static --target x86_64-unknown-linux-gnu
FROM scratch
COPY target/x86_64-unknown-linux-gnu/release/pullprobe /pullprobe
USER 65532:65532
ENTRYPOINT ["/pullprobe"]
CMD ["probe"]
