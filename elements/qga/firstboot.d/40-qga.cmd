@echo off
rem Installs the QEMU guest agent; another installer at work (1618) is a failure like any other, and waited for.
setlocal
set "MSI=%DIB_FIRSTBOOT%files\qemu-ga.msi"
if not exist "%MSI%" exit /b 1
"%SystemRoot%\System32\msiexec.exe" /i "%MSI%" /qn /norestart /l*vx "%DIB_FIRSTBOOT%qemu-ga-install.log"
set "CODE=%ERRORLEVEL%"
if not "%CODE%"=="0" if not "%CODE%"=="3010" exit /b %CODE%
del "%MSI%"
exit /b %CODE%
