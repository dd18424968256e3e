@echo off
rem The last one: sysprep makes an image of the installation and switches it off.
setlocal EnableExtensions DisableDelayedExpansion
if not "%DIB_WINDOWS_SYSPREP%"=="1" exit /b 0
rem sysprep may end Windows before this is noted as done: what is made of the image must not do it again
set "BEGUN=%DIB_FIRSTBOOT%sysprep-begun.txt"
if exist "%BEGUN%" exit /b 0
set "ANSWERS=%SystemRoot%\Setup\dib-py\unattend.xml"
set "GIVEN="
if exist "%ANSWERS%" set "GIVEN=/unattend:%ANSWERS%"
>"%BEGUN%" echo begun
"%SystemRoot%\System32\Sysprep\sysprep.exe" /generalize /oobe /shutdown /quiet %GIVEN%
if not errorlevel 1 exit /b 0
set "CODE=%ERRORLEVEL%"
del "%BEGUN%"
exit /b %CODE%
